"""The HTTP contract as an OpenAPI document, made from the schemas that validate and of what is presented."""
