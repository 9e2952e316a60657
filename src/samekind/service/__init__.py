"""`samekind serve`: one model and one gallery behind HTTP, and a web page. Imports nothing; never imports torch."""
