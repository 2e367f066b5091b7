# SPDX-License-Identifier: GPL-2.0-only
"""The performance of the project, every figure beside a peer measured in the same run; see docs/performance.md."""
