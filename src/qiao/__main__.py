"""`python -m qiao`: the same as `qiao`."""

import sys

from qiao.cli import main

sys.exit(main())
