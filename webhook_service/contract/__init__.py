"""The HTTP contract as an OpenAPI document, made from the schemas of requests and of answers."""
