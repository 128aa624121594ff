"""Logins and what comes of them: everything that ends in a credential for a request.

`profile` is one login, `issued` what Cognito issues for it. `cognito` signs in and renews, `tokens` keeps a good token
for each profile, `stores` keep sessions between runs, `claims` verifies tokens. `credentials` has the kinds of
credentials: what a request gets.
"""
