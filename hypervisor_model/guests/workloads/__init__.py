# SPDX-License-Identifier: GPL-2.0-only
"""What guests are busy with. Every workload is seeded and keeps its state in attributes."""
