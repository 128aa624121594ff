"""A local authenticating reverse proxy for the Unleash Live API.

Glossary, used in every module:

caller      the local tool that sends a request to this proxy
upstream    the Unleash Live service that a request is forwarded to
route       which upstream serves a local path prefix, and which credential it wants
credential  the one header that a route adds: a Cognito ID token, an API key or a personal access token
profile     one login and what belongs to it
token       a set of Cognito tokens, as one sign-in or renewal returned it
reading     one way in which some server may take a path: as it is written, decoded, or tidied up
flight      the one sign-in or renewal of a profile that is under way; every caller waits for the same one
"""

__version__ = "0.1.0"
