"""The file of configuration: read as TOML, checked key by key, with all its problems and their lines at once."""
