"""What is told of requests and of the process: log lines, metrics, status, the inspector and its page."""
