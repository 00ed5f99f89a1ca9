"""Tests of lbbt_mm. A package, so that its builders win over the ``tests`` folders other packages have installed."""
