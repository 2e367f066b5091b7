# SPDX-License-Identifier: GPL-2.0-only
"""The table of commands: where each one lives, and the line `xm --help` has for it.

The group reads this instead of the commands, so that importing one imports no other. A test holds the summaries
to the first lines of the commands' own help.
"""

from __future__ import annotations


class Entry:
    """A command: `module` under xm_tmem.cli, its `attribute` there, and its place in the help."""

    __slots__ = ("attribute", "module", "section", "summary")

    def __init__(self, section: str, module: str, attribute: str, summary: str) -> None:
        self.section, self.module, self.attribute, self.summary = section, module, attribute, summary

    def load(self) -> object:
        """The command itself: a click.Command, or a Declared one."""
        # importlib.import_module costs an import more than this.
        return getattr(__import__(f"xm_tmem.cli.{self.module}", fromlist=[self.attribute]), self.attribute)


LOOK, CHANGE, MOVE, FILES, SETUP = (
    "Look",
    "Change",
    "Save and move",
    "Saved things and words",
    "Hosts and set-up",
)
SECTIONS = (LOOK, CHANGE, MOVE, FILES, SETUP)

COMMANDS = {
    "list": Entry(LOOK, "list_cmd", "list_", "List the domains of the host, each with its tmem in one line."),
    "info": Entry(LOOK, "info_cmd", "info", "Show what host this is and what it can be asked."),
    "tmem-list": Entry(
        LOOK, "tmem_list_cmd", "tmem_list", "List tmem: the host, its clients and their pools."
    ),
    "tmem-top": Entry(
        LOOK, "tmem_top_cmd", "tmem_top", "Show what tmem does now: rates, hit rates and evictions."
    ),
    "tmem-diff": Entry(
        LOOK, "tmem_diff_cmd", "tmem_diff", "Show what changed between two listings, and how fast."
    ),
    "tmem-metrics": Entry(LOOK, "tmem_metrics_cmd", "tmem_metrics", "Tell Prometheus about tmem."),
    "tmem-check": Entry(
        LOOK, "tmem_check_cmd", "tmem_check", "Check a host against rules, for cron and monitoring."
    ),
    "tmem-freeable": Entry(
        LOOK, "tmem_freeable_cmd", "tmem_freeable", "Print how much tmem could be freed, in MiB."
    ),
    "tmem-freeze": Entry(CHANGE, "tmem_freeze_cmd", "tmem_freeze", "Freeze tmem: new pages are refused."),
    "tmem-thaw": Entry(CHANGE, "tmem_thaw_cmd", "tmem_thaw", "Thaw tmem: new pages are taken again."),
    "tmem-destroy": Entry(
        CHANGE,
        "tmem_destroy_cmd",
        "tmem_destroy",
        "Send Xen's DESTROY, which only thaws and destroys nothing.",
    ),
    "tmem-set": Entry(CHANGE, "tmem_set_cmd", "tmem_set", "Change weight, cap or compression."),
    "tmem-set-weight": Entry(CHANGE, "tmem_set_weight_cmd", "tmem_set_weight", "Set the weight of a domain."),
    "tmem-set-cap": Entry(
        CHANGE, "tmem_set_cap_cmd", "tmem_set_cap", "Set the cap of a domain (until Xen 4.7)."
    ),
    "tmem-set-compress": Entry(
        CHANGE, "tmem_set_compress_cmd", "tmem_set_compress", "Switch a domain's compression on or off."
    ),
    "tmem-flush": Entry(CHANGE, "tmem_flush_cmd", "tmem_flush", "Take memory back from all domains' tmem."),
    "tmem-shared-auth": Entry(
        CHANGE, "tmem_shared_auth_cmd", "tmem_shared_auth", "Allow or deny a domain a shared pool."
    ),
    "tmem-reclaim": Entry(
        CHANGE,
        "tmem_reclaim_cmd",
        "tmem_reclaim",
        "Free memory and leave each domain frozen or not, as it was.",
    ),
    "tmem-apply": Entry(
        CHANGE, "tmem_apply_cmd", "tmem_apply", "Bring domains to the settings a file asks for."
    ),
    "tmem-save": Entry(
        MOVE, "tmem_save_cmd", "tmem_save", "Save a domain's tmem: its settings, pools and persistent pages."
    ),
    "tmem-restore": Entry(
        MOVE, "tmem_restore_cmd", "tmem_restore", "Restore a saved domain's tmem, whole or not at all."
    ),
    "tmem-migrate": Entry(
        MOVE,
        "tmem_migrate_cmd",
        "tmem_migrate",
        "Copy a domain's tmem to another host, verified before the source is let go.",
    ),
    "tmem-record": Entry(
        FILES, "tmem_record_cmd", "tmem_record", "Record listings to a file, one every few seconds."
    ),
    "tmem-plot": Entry(
        FILES, "tmem_plot_cmd", "tmem_plot", "Draw the history of chosen fields of a recording."
    ),
    "tmem-list-parse": Entry(
        FILES,
        "tmem_list_parse_cmd",
        "tmem_list_parse",
        "Put a raw listing into words, as xen-tmem-list-parse does.",
    ),
    "tmem-stream": Entry(
        FILES, "tmem_stream_cmd", "tmem_stream", "Verify a save stream of any format and say what it holds."
    ),
    "tmem-explain": Entry(
        FILES,
        "tmem_explain_cmd",
        "tmem_explain",
        "Explain a listing's key or column, an error or an oddity of tmem.",
    ),
    "tmem-uuid": Entry(
        FILES, "tmem_uuid_cmd", "tmem_uuid", "Show a shared pool's uuid as each party writes it."
    ),
    "model": Entry(
        SETUP, "model_cmd", "model", "Run a host that is a model, with guests from a scenario file."
    ),
    "evaluate": Entry(
        SETUP, "evaluate_cmd", "evaluate", "Compare the model with what must hold and what was published."
    ),
    "doctor": Entry(
        SETUP, "doctor_cmd", "doctor", "Say what works here, what does not, and what to do about it."
    ),
    "config": Entry(SETUP, "config_cmd", "config", "Write a config file, or show the settings in force."),
    "completion": Entry(SETUP, "completion_cmd", "completion", "Print the completion script of a shell."),
    "help": Entry(SETUP, "help_cmd", "help_", "Show the help of a command."),
}
