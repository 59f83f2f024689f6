"""The dashboard: a web page that shows the picture live. Needs the extra ``dashboard``.

It only reads. It has no log-in: it listens on loopback, and refuses requests under names that
are not its own, so that no page of elsewhere can read it through the browser (DNS rebinding).
"""
