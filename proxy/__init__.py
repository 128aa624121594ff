"""A local authenticating reverse proxy for the Unleash Live API.

Glossary, used in every module:

caller      the local tool that sends a request to this proxy
upstream    the Unleash Live service that a request is forwarded to
route       which upstream serves a local path prefix, and which credential it wants
credential  what a profile adds to the requests of a route: a Cognito ID token, an API key or a personal access token
proof       a credential that is good now, as the field lines of a request
plan        what becomes of a request, as far as its head says
profile     one login and what belongs to it
token       a set of Cognito tokens, as one sign-in or renewal returned it
reading     one way in which some server may take a path: as it is written, decoded, or tidied up
flight      the one sign-in or renewal of a profile that is under way; every caller waits for the same one
"""

__version__ = "0.1.0"
