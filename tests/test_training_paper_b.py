"""Paper B's systems: each piece against its equation, each experiment from data to figures."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch.nn import functional

from contracts.errors import DataError, UsageError
from training.attention_maps import average_attention, draw_attention
from training.centre_loss import CentreLoss
from training.ckplus import CKPLUS_LABELS
from training.contrast import filter_median, filter_median_of_tensors, normalise_contrast, preprocess
from training.datasets import FaceDataset, read_dataset
from training.experiments import find_experiment, list_experiments
from training.lda import compute_scatter, fit_lda
from training.networks.paper_b import (
    DenseReconstruction,
    PointConv,
    PointMultiplicationAttention,
    SequenceConfig,
    SequenceNet,
)
from training.run import run_experiment
from training.stages_paper_b import augment_ckplus, compute_features, make_joint_loss
from training.svm import PENALTY, fit_svm

NAMES = [experiment.name for experiment in list_experiments() if experiment.group == "paper B"]


def make_faces(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures in which the class is the row of a bright bar."""
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % 7
    images = rng.integers(0, 100, (number, 48, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 + 6 * label : 8 + 6 * label] += 150
    return images, labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, number, seed in (("training", 140, 0), ("publictest", 28, 1)):
        images, labels = make_faces(number, seed)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    images, labels = make_faces(70, 2)
    subject = np.arange(70) // 7
    np.savez(
        folder / "ckplus48.npz",
        images=images,
        labels=labels,
        label_names=np.array(CKPLUS_LABELS),
        subject=subject,
        sequence=labels,
        frame=np.zeros(70, np.int64),
    )
    return folder


def make_features(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (210 9) of seven classes that overlap."""
    rng = np.random.default_rng(seed)
    labels = np.arange(210) % 7
    return rng.normal(size=(7, 9))[labels] * 2 + rng.normal(size=(210, 9)) @ rng.normal(size=(9, 9)), labels


def test_contrast_normalisation_is_equation_1() -> None:
    image = torch.tensor([[[0.0, 4.0], [8.0, 4.0]]])  # Mean 4, mean square 8.
    found = normalise_contrast(image, scale=2.0, regulariser=1.0, smallest=1e-8)
    assert torch.allclose(found, torch.tensor([[[-8 / 3, 0.0], [8 / 3, 0.0]]]))
    flat = normalise_contrast(torch.full((1, 2, 2), 7.0), scale=1.0, regulariser=0.0, smallest=1e-8)
    assert torch.equal(flat, torch.zeros(1, 2, 2))


def test_the_median_filter_takes_a_lone_bright_pixel_out_and_is_one_filter_on_every_device() -> None:
    image = torch.zeros(1, 5, 5, dtype=torch.uint8)
    image[0, 2, 2] = 255
    assert filter_median(image).max() == 0
    noise = torch.randint(0, 256, (3, 20, 31), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(filter_median(noise), filter_median_of_tensors(noise))
    assert filter_median(noise)[1, 4, 7] == noise[1, 3:6, 6:9].flatten().sort().values[4]


def test_crops_come_out_enlarged_with_no_mean_and_unit_contrast() -> None:
    found = preprocess(torch.from_numpy(make_faces(2, 0)[0]))
    assert found.shape == (2, 1, 128, 128)
    assert torch.allclose(found.mean((1, 2, 3)), torch.zeros(2), atol=1e-4)
    assert torch.allclose(found.std((1, 2, 3)), torch.ones(2), atol=1e-2)


def test_the_first_layer_is_a_1x1_convolution_and_then_a_pooling() -> None:
    torch.manual_seed(0)
    layer = PointConv(8, 3)
    x = torch.randn(2, 1, 13, 13)
    plain = functional.max_pool2d(functional.relu(layer.convolution(x)), 3)
    weight = layer.convolution.weight
    assert torch.allclose(layer(x), plain, atol=1e-6)
    ours, theirs = (torch.autograd.grad((out**2).sum(), weight)[0] for out in (layer(x), plain))
    assert torch.allclose(ours, theirs, rtol=1e-4)


def test_attention_is_algorithm_1() -> None:
    attention = PointMultiplicationAttention(2)
    key = np.array([[0.5, -1.0], [2.0, 0.3]])
    attention.key.weight.data = torch.tensor(key.T, dtype=torch.float32)  # V W, where Linear has V Wᵀ.
    values, query = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -2.0]]), np.array([0.7, -0.2])
    products = np.tanh(values @ key) @ query
    weights = np.exp(products) / np.exp(products).sum()
    context, found = attention(torch.tensor(values)[None].float(), torch.tensor(query)[None].float())
    assert np.allclose(found.detach()[0], weights, atol=1e-6)
    assert np.allclose(context.detach()[0], weights @ values, atol=1e-6)


def test_centre_loss_and_its_centres_follow_equations_2_to_4() -> None:
    loss = CentreLoss(3, 2, rate=0.5, device=torch.device("cpu"))
    loss.centres.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]))
    features, labels = torch.tensor([[2.0, 0.0], [4.0, 3.0], [1.0, 2.0]]), torch.tensor([0, 0, 1])
    assert float(loss(features, labels)) == pytest.approx((4 + 25 + 1) / 2 / 3)
    loss.update(features, labels)
    # Class 0: Δ = ((0-2) + (0-4), (0-0) + (0-3)) / (1+2) = (-2, -1); class 1: (0, -1) / 2; class 2 has no face.
    assert torch.allclose(loss.centres, torch.tensor([[1.0, 0.5], [1.0, 1.25], [5.0, 5.0]]))


def test_the_joint_loss_is_softmax_loss_plus_weighted_centre_loss_and_reaches_the_features() -> None:
    torch.manual_seed(0)
    network = SequenceNet(SequenceConfig(cnn=None, hidden=4, dropout=0.0))
    x, labels = torch.randn(7, 1, 128, 128), torch.arange(7)
    centres = CentreLoss(7, network.features, 0.5, torch.device("cpu"))
    features = network.compute_features(x)
    expected = functional.cross_entropy(network.classify(features), labels) + 0.1 * centres(features, labels)
    loss = make_joint_loss(centres, 0.1, 0.0)(network, x, labels, None)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert bool((centres.centres != 0).any())
    assert not centres.centres.requires_grad


def test_lda_solves_the_eigenproblem_as_scikit_learn_does() -> None:
    features, labels = make_features()
    weight, bias = fit_lda(features, labels, 6, ridge=0)
    within, between = compute_scatter(features, labels)
    values = [v @ between @ v / (v @ within @ v) for v in weight]
    assert values == sorted(values, reverse=True)
    for vector, value in zip(weight, values, strict=True):
        assert np.allclose(np.linalg.solve(within, between) @ vector, value * vector, atol=1e-8)
    known = LinearDiscriminantAnalysis(solver="eigen").fit(features, labels).scalings_[:, :6].T
    signs = np.sign((weight * known).sum(1))[:, None]
    assert np.allclose(weight, signs * known, atol=1e-6)
    assert np.allclose((features @ weight.T + bias).mean(0), 0, atol=1e-9)


def test_the_scatter_of_all_is_that_within_and_that_between_classes() -> None:
    features, labels = make_features()
    within, between = compute_scatter(features, labels)
    assert np.allclose(within + between, np.cov(features.T, bias=True))


def test_lda_survives_a_feature_that_is_another_one_again() -> None:
    features, labels = make_features()
    doubled = np.hstack((features, features))
    weight, bias = fit_lda(doubled, labels, 6)
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()


def test_the_linear_layer_answers_as_the_support_vector_machine_does() -> None:
    features, labels = make_features()
    labels[labels == 3] = 4
    weight, bias = fit_svm(features, labels, 7)
    scaled = StandardScaler().fit_transform(features)
    known = LinearSVC(C=PENALTY, dual=False).fit(scaled, labels).decision_function(scaled)
    answers = features @ weight.T + bias
    assert np.allclose(np.delete(answers, 3, axis=1), known, atol=1e-6)
    assert (answers[:, 3] == -1).all()


def test_each_dense_layer_sees_the_input_and_all_earlier_outputs() -> None:
    torch.manual_seed(0)
    head = DenseReconstruction(6, 7).eval()
    seen: list[torch.Tensor] = []
    made: list[torch.Tensor] = []

    def note(_layer: torch.nn.Module, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        seen.append(given[0])
        made.append(out)

    for layer in head.layers:
        layer.register_forward_hook(note)
    x = torch.randn(5, 6)
    assert head(x).shape == (5, 7)
    for index, given in enumerate(seen):
        assert torch.equal(given, torch.cat((x, *made[:index]), 1))
    assert all(isinstance(layer[1], torch.nn.BatchNorm1d) for layer in head.layers)


def test_what_is_fitted_comes_from_the_training_faces_alone() -> None:
    experiment, device = find_experiment("attention_lda-short"), torch.device("cpu")
    training = FaceDataset("training", *make_faces(140, 0), None)
    weights = []
    for seed in (1, 2):
        selection = FaceDataset("selection", *make_faces(28, seed), None)
        torch.manual_seed(0)
        network = experiment.make_network()
        fitted = experiment.make_stages(training, selection, device)[1]
        assert fitted.begin is not None
        fitted.begin(network)
        weights.append(network.projection.weight)
    expected, _ = fit_lda(compute_features(network, training, device).double().numpy(), training.labels, 6)
    assert torch.equal(*weights)
    assert torch.allclose(weights[0], torch.from_numpy(expected).float())


def test_a_network_that_begins_with_a_finished_ones_weights_forgets_what_was_fitted_for_other_labels() -> None:
    torch.manual_seed(0)
    network = SequenceNet(SequenceConfig(cnn=None, hidden=4)).eval()
    network.set_projection(torch.randn(6, network.features), torch.zeros(6))
    x = torch.randn(3, 1, 128, 128)
    kept = network.compute_features(x)
    before = network.classifier[-1].weight.clone()
    network.restart()
    assert torch.equal(network(x), network.classify(kept))
    assert not torch.equal(network.classifier[-1].weight, before)
    assert torch.equal(network.compute_features(x), kept)


def test_ckplus_faces_are_turned_mirrored_and_brightened_and_stay_pictures() -> None:
    crops = torch.from_numpy(make_faces(8, 0)[0]).float()
    found = augment_ckplus(crops, torch.Generator().manual_seed(0))
    again = augment_ckplus(crops, torch.Generator().manual_seed(0))
    assert found.shape == crops.shape
    assert torch.equal(found, again)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 255
    assert not torch.allclose(found.mean((1, 2)), crops.mean((1, 2)), rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_goes_from_data_to_figures(name: str, data: Path, tmp_path: Path) -> None:
    run_experiment(data, name, tmp_path, threads=1, smoke=True, report=lambda line: None)
    record = json.loads((tmp_path / "record.json").read_text())
    is_ckplus = "-ckplus" in name
    assert record["labels"] == list(CKPLUS_LABELS) if is_ckplus else "happy" in record["labels"]
    figures = record["metrics"]["CK+"]["mean"] if is_ckplus else record["metrics"]["PublicTest-B"]["fer2013"]
    assert 0 <= figures["accuracy"] <= 1


def test_a_run_cut_anywhere_ends_in_the_same_weights_and_they_give_its_final_answers(
    data: Path, tmp_path: Path
) -> None:
    def run(folder: Path, last_line: str | None) -> bytes:
        def report(line: str) -> None:
            if last_line and line.startswith(last_line):
                raise KeyboardInterrupt

        run_experiment(
            data, "attention_lda", folder, threads=1, max_epochs=2, records=tmp_path / "records", report=report
        )
        return (folder / "network.safetensors").read_bytes()

    straight = run(tmp_path / "straight", None)
    for index, line in enumerate(("features 1/2", "features 2/2", "fitted 1/2")):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / f"cut{index}", line)
        assert run(tmp_path / f"cut{index}", None) == straight

    network = find_experiment("attention_lda").make_network().eval()
    network.load_state_dict(safetensors.torch.load(straight))
    x = preprocess(torch.from_numpy(read_dataset(data, "PublicTest").images))
    with torch.no_grad():
        expected = network.head(network.projection(network.compute_features(x)))
        assert torch.equal(network(x), expected)


def test_the_mean_attention_of_each_emotion_sums_to_one(data: Path) -> None:
    faces = read_dataset(data, "PublicTest")
    found = average_attention(find_experiment("attention_lda").make_network().eval(), faces)
    assert found is not None
    assert set(found) == {faces.label_names[label] for label in faces.labels}
    assert all(len(weights) == 10 and sum(weights) == pytest.approx(1, abs=1e-3) for weights in found.values())
    assert average_attention(find_experiment("cnn_svm").make_network().eval(), faces) is None


def test_features_that_diverged_are_not_fitted(data: Path) -> None:
    experiment = find_experiment("attention_lda")
    network = experiment.make_network()
    torch.nn.init.constant_(network.attention.key.weight, float("nan"))
    stage = experiment.make_stages(read_dataset(data, "Training"), None, torch.device("cpu"))[-1]
    assert stage.begin is not None
    with pytest.raises(DataError, match="the training diverged"):
        stage.begin(network)


def test_a_picture_shows_where_the_attention_looks(data: Path, tmp_path: Path) -> None:
    experiment = find_experiment("attention_lda")
    faces = read_dataset(data, "PublicTest")
    network = experiment.make_network().eval()
    draw_attention(network, experiment, faces, tmp_path / "maps.png")
    assert (tmp_path / "maps.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="cannot be written"):
        draw_attention(network, experiment, faces, tmp_path / "nowhere" / "maps.png")
    rival = find_experiment("cnn_lstm")
    with pytest.raises(UsageError, match="cnn_lstm has no attention to draw"):
        draw_attention(rival.make_network().eval(), rival, faces, tmp_path / "maps.png")
