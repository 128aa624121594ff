"""AWS Cognito as this proxy needs it: sign-in and renewal. The only folder that imports aiobotocore.

All calls are unsigned: these operations need no AWS credentials, and none of the machine's are looked at.
"""

from proxy.cognito.asking import CONFIRM_SIGN_UP, PASSWORD_RESET, Answerer, CodeRequest, Medium, Retry
from proxy.cognito.flows import Cognito

__all__ = ["CONFIRM_SIGN_UP", "PASSWORD_RESET", "Answerer", "CodeRequest", "Cognito", "Medium", "Retry"]
