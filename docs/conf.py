"""How `make docs` builds these pages into a site: Sphinx over Markdown, in the theme furo."""

from importlib.metadata import version as version_of

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "stateward"
author = "the authors of stateward"
version = release = version_of("stateward")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_build"]
nitpicky = True

# Anchors as GitHub makes them, so that a link works in both places.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"stateward {release}"
html_copy_source = False
html_show_copyright = False


def setup(app: Sphinx) -> None:
    """Show drawings in Mermaid as the text that they are; GitHub draws them."""
    app.add_lexer("mermaid", TextLexer)
