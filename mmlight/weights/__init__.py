"""Key maps between the naming schemes of published weights and the modules of this package."""
