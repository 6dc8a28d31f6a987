"""The subcommands of ``graphlint``, one module each, and what they share."""
