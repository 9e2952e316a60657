"""Enrolled identities, kept safely, and who of them an image shows. Imports nothing.

`gallery` joins a model with a store; `store` says what a store is, `sqlite` and `postgres` are two; `matrix` holds what
is searched in memory; `identification` decides; `guard` warns at enrolment; `archive` carries a gallery elsewhere.
"""
