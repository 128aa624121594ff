"""One request: plan, credential, upstream, response.

`planner` judges its head with the guards, the routes and the credentials and makes a `plan`; `forwarder` carries that
out, `retry` asks the upstream and asks once more where the credential is refused, `relay` passes the response on.
"""
