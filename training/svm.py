"""A linear support vector machine, as one linear layer."""

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

Matrix = NDArray[np.float64]
PENALTY = 0.01


def fit_svm(features: Matrix, labels: NDArray[np.int64], classes: int) -> tuple[Matrix, Matrix]:
    """Return (weight (K C), bias (K)) that give each class's signed distance, one class against the rest.

    The machine is fitted on standardised ``features`` (N C) and the layer takes them as they are. A class without
    features always has the distance -1.
    """
    scaler = StandardScaler()
    machine = LinearSVC(C=PENALTY, dual=False)
    machine.fit(scaler.fit_transform(features), labels)
    coefficients, intercepts = machine.coef_, machine.intercept_
    if len(machine.classes_) == 2:
        # scikit-learn keeps one row for two classes, which points to the second.
        coefficients, intercepts = np.vstack((-coefficients, coefficients)), np.append(-intercepts, intercepts)
    weight, bias = np.zeros((classes, features.shape[1])), np.full(classes, -1.0)
    weight[machine.classes_] = coefficients / scaler.scale_
    bias[machine.classes_] = intercepts - weight[machine.classes_] @ scaler.mean_
    return weight, bias
