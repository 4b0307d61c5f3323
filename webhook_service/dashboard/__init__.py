"""Pages for people: server-rendered, they present the same data as the JSON calls."""
