"""The imports hold the table of the design: who may use what, and what stays out of which process."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cli", "contracts", "dashboard", "ingest", "models", "reports", "training", "workers")

# The design's table: what of our own packages each may import, and what it never imports.
MAY_IMPORT = {
    "contracts": set(),
    "models": {"contracts"},
    "ingest": {"contracts", "models"},
    "workers": {"contracts", "models", "reports"},
    "reports": {"contracts"},
    "training": {"contracts", "models"},
    "dashboard": {"contracts", "reports"},
    "cli": {"contracts", "ingest", "models", "reports", "training", "workers"},
}
NEVER_IMPORTS = {
    "contracts": {"torch", "cv2", "av", "streamlit"},
    "models": {"streamlit"},
    "ingest": {"torch", "streamlit"},
    "workers": {"streamlit"},
    "reports": {"torch", "streamlit"},
    "training": {"streamlit"},
    "dashboard": {"torch"},
    "cli": {"streamlit"},
}
# What ingest reads of models does not need torch.
TORCH_FREE_MODELS = {"models.alignment", "models.detection"}
# Nothing heavy is imported for --help.
HEAVY = (
    "torch",
    "cv2",
    "av",
    "sqlalchemy",
    "pydantic",
    "numpy",
    "redis",
    "msgspec",
    "matplotlib",
    "psutil",
    "cryptography",
    "prometheus_client",
    "structlog",
    "streamlit",
    "pandas",
    "plotly",
)


def list_imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere in it, those for type checking only left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" if module in PACKAGES else module for alias in node.names}
    return found


def list_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def run_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


@pytest.mark.parametrize("package", [name for name in PACKAGES if (ROOT / name).is_dir()])
def test_a_package_imports_only_what_the_design_allows(package: str) -> None:
    files = list_files(package)
    assert files
    for path in files:
        for module in list_imports(path):
            top = module.split(".")[0]
            if top in PACKAGES and top != package:
                assert top in MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {module}"
            assert top not in NEVER_IMPORTS[package], f"{path.relative_to(ROOT)} imports {module}"


def test_ingest_reads_of_models_only_what_is_free_of_torch() -> None:
    used = {
        ".".join(module.split(".")[:2])
        for path in list_files("ingest")
        for module in list_imports(path)
        if module.split(".")[0] == "models"
    }
    assert used <= TORCH_FREE_MODELS


def test_the_package_of_models_imports_nothing_itself() -> None:
    assert (ROOT / "models" / "__init__.py").read_text() == ""


def test_every_package_is_installed() -> None:
    """The flat layout lists its packages one by one, so that a new folder is easily left out."""
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for package in PACKAGES
        for path in list_files(package)
        if path.name == "__init__.py"
    }
    assert folders <= listed


@pytest.mark.parametrize("package", ["dashboard", "reports"])
def test_what_pages_and_reports_need_beside_their_code_is_installed(package: str) -> None:
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][package]
    listed = {path for pattern in patterns for path in (ROOT / package).glob(pattern)}
    files = {path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files and files <= listed


def test_tests_are_flat_files() -> None:
    """A tests/models/__init__.py would stand in front of models."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_ingest_process_never_loads_torch() -> None:
    program = (
        "import sys, ingest.jobs; from models.detection import find_default_detector, make_detector;"
        "import numpy; make_detector(find_default_detector()).detect(numpy.zeros((120, 160, 3), numpy.uint8));"
        "print(sorted({'torch', 'streamlit', 'matplotlib', 'workers'} & set(sys.modules)))"
    )
    assert run_python(program).strip() == "[]"


def test_the_watching_process_never_loads_torch() -> None:
    """It lives as long as the run: hundreds of megabytes that nobody uses."""
    program = "import sys, cli.analyze; print(sorted({'torch', 'streamlit'} & set(sys.modules)))"
    assert run_python(program).strip() == "[]"


def test_contracts_load_without_torch_cv2_av_or_streamlit() -> None:
    modules = sorted(f"contracts.{path.stem}" for path in (ROOT / "contracts").glob("*.py") if path.stem != "__init__")
    program = (
        f"import sys, {', '.join(modules)}; print(sorted({{'torch', 'cv2', 'av', 'streamlit'}} & set(sys.modules)))"
    )
    assert run_python(program).strip() == "[]"


def test_the_dashboard_loads_nothing_of_the_pipeline() -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in list_files("dashboard")]
    # The app and its pages run as they are imported.
    modules = [".".join(path.parts) for path in paths if path.stem != "app" and path.parent.name != "views"]
    unwanted = {"torch", "cv2", "av", "ingest", "models", "workers"}
    program = f"import sys, {', '.join(modules)}; print(sorted({unwanted!r} & set(sys.modules)))"
    assert run_python(program.replace(".__init__", "")).strip() == "[]"


def test_inside_the_dashboard_only_queries_and_actions_lead_to_the_data() -> None:
    """Both ask for a role, so a page or a chart that went past them would show what its visitor may not see."""
    to_the_data = {"dashboard.services", "dashboard.changes", "dashboard.handing_in", "contracts.database"}
    drawing = {"dashboard.queries", "dashboard.actions", "dashboard.widgets", "dashboard.views", "dashboard.files"}
    forbidden = {
        "views": to_the_data,
        "widgets": to_the_data | {"dashboard.views"},
        "files": to_the_data | {"dashboard.views", "dashboard.widgets"},
        "charts": to_the_data | drawing,
        "reading": to_the_data | drawing | {"dashboard.charts"},
        "queries": {"dashboard.changes", "dashboard.handing_in", "dashboard.web"} | drawing - {"dashboard.queries"},
        "actions": {"dashboard.web"} | drawing - {"dashboard.queries", "dashboard.actions"},
    }
    for folder, modules in forbidden.items():
        for path in list_files(f"dashboard/{folder}"):
            used = {".".join(module.split(".")[:2]) for module in list_imports(path)}
            assert not used & modules, f"{path.relative_to(ROOT)} imports {sorted(used & modules)}"


def test_no_file_of_the_dashboard_stands_in_front_of_a_package() -> None:
    """Streamlit puts the folder first on the path."""
    names = {path.stem for path in (ROOT / "dashboard").iterdir()}
    assert not names & {*PACKAGES, *sys.stdlib_module_names}


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nsys.argv = ['emotrace', '--help']\nfrom cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    output = run_python(program)
    assert "analyze" in output and output.strip().endswith("LOADED []")
