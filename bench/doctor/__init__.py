"""The doctor: an app's own endpoints as scenarios, found in its OpenAPI document and measured like any other.

    inspect -> scout (the server once: its document, who answers, how fast) -> scenarios -> campaign -> report

inspection.py asks the app's interpreter, openapi.py reads the document, scout.py tries what it offers, plan.py makes
scenarios of it, campaign.py measures them. What they say is bench.analysis.doctor's to judge.
"""
