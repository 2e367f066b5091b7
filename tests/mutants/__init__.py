# SPDX-License-Identifier: GPL-2.0-only
"""Faults put into the model, one at a time, to see whether the tests notice."""
