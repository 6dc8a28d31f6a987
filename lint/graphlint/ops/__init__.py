"""What ops do: writes, aliases, random draws, effects, functional twins. See :mod:`graphlint.ops.table`."""
