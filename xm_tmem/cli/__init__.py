# SPDX-License-Identifier: GPL-2.0-only
"""The command line: a lazy click group and one file for each verb. What a verb means is in `operations`."""
