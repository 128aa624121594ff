"""AWS Cognito as this proxy needs it: sign-in and renewal. The only folder that imports aiobotocore.

All calls are unsigned: these operations need no AWS credentials, and none of the machine's are looked at.
"""
