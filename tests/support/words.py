"""Words that are true of the real collections, and of no drawing."""

OF_THE_REAL_ONES = (
    *("children", r"adults\s+who", "Guangzhou", "hospital", "publications"),
    *("arXiv", "Kermany", "Cohen", r"\bdoi\b", r"kaggle\.com", "ieee8023", r"creativecommons|CC.BY"),
)
