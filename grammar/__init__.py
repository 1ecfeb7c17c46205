"""The languages: text in, a typed tree out, and back. The only package that imports lark."""
