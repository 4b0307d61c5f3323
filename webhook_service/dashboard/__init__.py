"""Pages for people: server-rendered, another presenter of what the JSON calls give."""
