"""AWS Cognito: sign-in, renewal, revocation and temporary AWS keys. The only importer of aiobotocore.

Begin with `flows`. A sign-in is a `dialogue` that answers `challenges`; `sdk` makes the calls, `failures` says what
their errors mean. The calls are unsigned: they need no AWS credentials, and those of the machine are not read.
"""
