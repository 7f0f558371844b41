"""The `frs` command's verbs, one module each; `frs_core.cli` imports the one that was asked for."""
