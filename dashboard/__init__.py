"""The dashboard: Streamlit's pages behind a gate of our own. Where to look:

- ``app.py`` names the pages, ``server.py`` what is served beside them; ``views`` holds one file for each page.
- ``widgets`` are the parts of pages that somebody uses, ``charts`` the pictures, ``files`` what is taken away, and
  ``components`` what runs in the browser.
- ``queries`` read and ``actions`` change: through their functions alone pages reach the data, and each of them asks
  ``identity`` for a role first. ``asking`` is how answers are kept, ``changes`` how changes are stored, and ``reading``
  how queries put rows together.
- ``web`` is what goes beside Streamlit's own connection: logins, and recordings in and out. ``grants`` are its links,
  ``offers`` and ``handing_in`` what recordings may be picked and how they are handed in.
- ``services`` are the database and Redis, ``texts`` how strangers' words, moments and errors are told.
"""
