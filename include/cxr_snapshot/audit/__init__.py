"""The audit: may this snapshot be published, and does it teach the disease or the hospital.

``gates`` says yes or no. ``confounding``, ``probes`` and ``drift`` measure; ``examples`` picks what people should see.
``report`` puts it all into ``audit.json``; ``plots`` and ``page`` turn that into ``audit.html``.
"""
