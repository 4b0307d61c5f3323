"""The file of configuration: read as TOML and checked key by key; all problems are reported at once, with lines."""
