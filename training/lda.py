"""Linear discriminant analysis: the directions that part the classes best (paper B, equations 8 to 12)."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Matrix = NDArray[np.float64]
# A little of the mean variance is added to every direction's, as features may depend on each other.
RIDGE = 1e-4


def fit_lda(
    features: Matrix, labels: NDArray[np.int64], dimensions: int, ridge: float = RIDGE
) -> tuple[Matrix, Matrix]:
    """Return (weight (D C), bias (D)) of the linear layer that projects ``features`` (N C) to ``dimensions``.

    The rows are the eigenvectors of S_W⁻¹ S_B with the largest eigenvalues, scaled so that a class has a variance of
    one along each; the bias puts the mean of ``features`` at 0. With K classes only K - 1 eigenvalues are not 0.
    """
    within, between = compute_scatter(features, labels)
    within += ridge * np.trace(within) / len(within) * np.eye(len(within))
    # The symmetric problem S_B v = λ S_W v has the eigenvectors of S_W⁻¹ S_B; eigh sorts from small to large.
    _, vectors = eigh(between, within)
    weight = vectors.T[::-1][:dimensions].copy()
    return weight, -weight @ features.mean(0)


def compute_scatter(features: Matrix, labels: NDArray[np.int64]) -> tuple[Matrix, Matrix]:
    """Return the scatter within and between classes, (C C) each, divided by the number of ``features``.

    S_W sums (x - m_k)(x - m_k)ᵀ over all features, m_k the mean of their class; S_B sums n_k (m_k - m)(m_k - m)ᵀ over
    the classes, m the mean of all. Both are divided by N, which changes no eigenvector.
    """
    classes, class_of, number = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.stack([features[labels == index].mean(0) for index in classes])
    inner = features - means[class_of]
    outer = means - features.mean(0)
    return inner.T @ inner / len(features), (outer * number[:, None]).T @ outer / len(features)
