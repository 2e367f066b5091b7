# SPDX-License-Identifier: GPL-2.0-only
"""The version of this distribution, alone in a file so that `xm --version` imports nothing else."""

VERSION = "0.1.0"
