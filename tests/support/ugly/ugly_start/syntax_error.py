"""Is not Python: a SyntaxError, made so that linters can read the file."""

exec("app = (")
