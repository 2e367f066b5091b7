# SPDX-License-Identifier: GPL-2.0-only
"""What a verb means: functions over `backends.interface.Backend`, callable from any Python program.

    resolve    a DOMAIN as a person writes it -> the domain
    query      listings, the domains of a host, how much could be freed
    lifecycle  freeze, thaw, destroy, flush, and what waits
    tuning     weight, cap, compression        sharing   authorisation of shared pools
    reclaim    free memory and leave every domain as it was
    apply      the settings a file asks for
    hosts      the same question to several hosts at once
    rehearsal  a Backend that changes nothing

Functions for several domains return one Outcome for each and raise nothing for a domain that failed.
"""
