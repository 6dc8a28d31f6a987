"""GL901, GL902 and GL903: comments in the model's source that accept findings, and do not do what they seem to."""

from graphlint.rules.base import Rule


class UnusedIgnore(Rule):
    """A comment that accepts what is not found.

    ## What it does
    Flags `# graphlint: ignore[GL103]` in the model's source where no artifact of the run has such a finding on that
    line. Only files that the artifacts' recorded source lines are in are looked at, and only for rules that are on.
    Off by default; `--warn-unused-ignores` (or `warn-unused-ignores = true`) turns it on.

    ## Why is this bad?
    The comment accepts whatever finding comes next on that line. Run it over all artifacts of a model: another
    artifact may need the comment.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            count = self.count + 1  # graphlint: ignore[GL103] reset on load
            return x * count
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            count = self.count + 1
            return x * count
    ```
    """

    code = "GL901"
    severity = "warning"
    enabled_by_default = False


class BroadIgnore(Rule):
    """A comment that accepts findings without saying which.

    ## What it does
    Flags `# graphlint: ignore` without codes in the model's source. Such a comment accepts nothing.

    ## Why is this bad?
    It would hide every finding that comes later. Name the rules: `# graphlint: ignore[GL103] reset on load`.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)  # graphlint: ignore
            return x * self.count
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)  # graphlint: ignore[GL103] reset on load
            return x * self.count
    ```
    """

    code = "GL902"
    severity = "warning"


class InvalidIgnore(Rule):
    """A comment that names rules which do not exist.

    ## What it does
    Flags `# graphlint: ignore[...]` in the model's source with a code or name that no rule has, and one whose bracket
    is not closed. Names of other rules in the same comment count.

    ## Why is this bad?
    The comment does not accept what its author meant it to accept.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)  # graphlint: ignore[GL1O3] reset on load
            return x * self.count
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)  # graphlint: ignore[GL103] reset on load
            return x * self.count
    ```
    """

    code = "GL903"
    severity = "warning"
