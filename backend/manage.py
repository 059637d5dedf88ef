#!/usr/bin/env python
"""Photon's commands; `./photon` runs this file in its own environment."""

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from config.environment import InvalidEnvironment


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except InvalidEnvironment as error:
        sys.exit(f"photon: {error}")
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"photon: the database cannot be used: {str(error).strip().splitlines()[0]}")


if __name__ == "__main__":
    main()
