"""`python -m proxy` is `ul-proxy`."""

import sys

from proxy.cli import main

sys.exit(main())
