"""Opens what test_results --sample wrote the way users do: xarray with h5netcdf, as is.

Usage: check_xarray.py TEST_RESULTS_PROGRAM. Exit code 77 (skip) where xarray or h5netcdf are not installed."""
import os
import subprocess
import sys
import tempfile

try:
    import h5netcdf  # noqa: F401
    import h5py
    import numpy as np
    import xarray as xr
except ImportError as e:
    print("SKIP:", e)
    sys.exit(77)

UNITS = {"p_correct": "1", "cost": "USD", "length_mean": "tokens", "true_cost": "USD", "votes_yes": "samples",
         "input_price": "USD per million tokens", "sample_length": "tokens"}
CELL = ["valid", "p_correct", "votes_yes", "votes_no", "votes_unparsed", "length_mean", "length_sd", "p_se", "length_se",
        "cost",        "prompt_tokens", "prompt_source", "output_tokens", "status", "true_correct", "true_length", "true_cost",
        "knn_correct", "knn_length", "anchor_correct", "anchor_length"]
QUERY = ["similarity"]
MODEL = ["request_price"]
SAMPLE = ["sample_correct", "sample_length", "sample_p_yes", "sample_tokens", "sample_finish"]


def check(path):
    ds = xr.open_dataset(path, engine="h5netcdf")
    assert dict(ds.sizes) == {"query": 5, "model": 3, "sample": 4}, ds.sizes
    assert set(ds.coords) == {"query", "model", "sample", "category", "input_price", "output_price"}, ds.coords
    assert set(ds.data_vars) == set(CELL + SAMPLE + QUERY + MODEL), set(ds.data_vars) ^ set(CELL + SAMPLE + QUERY + MODEL)
    assert ds["similarity"].dims == ("query",) and ds["similarity"].values[1] == 0.1
    for name in CELL:
        assert ds[name].dims == ("query", "model"), name
    for name in SAMPLE:
        assert ds[name].dims == ("query", "model", "sample"), name
    for name in CELL + SAMPLE:
        assert ds[name].attrs["long_name"], name
    for name, units in UNITS.items():
        assert ds[name].attrs["units"] == units, name

    # Strings whole: not ASCII, and longer than a fixed width.
    query = list(ds["query"].values)
    assert query[0] == "q\u00fc0" and query[3] == "x" * 600, query
    assert list(ds["category"].values) == ["r\u00e4tsel", "math", "", "math", "r\u00e4tsel"]
    assert list(ds["model"].values) == ["vendor/model-%d" % m for m in range(3)]
    assert list(ds["sample"].values) == [0, 1, 2, 3]

    # Values, by label: cell 4 is (query 1, model 1); cell 6 has failed; cell 14 was never computed.
    cell = ds.sel(query="q\u00fc1", model="vendor/model-1")
    assert float(cell.p_correct) == 0.25 + 0.01 * 4
    assert int(cell.votes_yes) == 2 and int(cell.votes_no) == 1 and int(cell.votes_unparsed) == 1
    assert float(cell.cost) == 0.001 * 4 and int(cell.prompt_tokens) == 54
    assert int(cell.output_tokens) == 4000000004
    assert cell.sample_correct.fillna(-1).values.tolist() == [0, 1, 1, -1] and cell.sample_correct.isnull().sum() == 1
    assert cell.sample_length.fillna(-1).values.tolist() == [94, 95, 96, -1] and cell.sample_length.mean() == 95
    assert cell.sample_p_yes.values[:3].tolist() == [0, 0.25, 0.5] and np.isnan(cell.sample_p_yes.values[3])
    assert float(cell.output_price) == 3.0
    flat = {name: ds[name].values.reshape(15) for name in CELL}
    assert flat["valid"].tolist() == [0 if i in (6, 13, 14) else 1 for i in range(15)]
    assert flat["status"].tolist()[6] == 2 and flat["status"].tolist()[14] == -1
    assert np.isnan(flat["cost"][[6, 13, 14]]).all() and np.isnan(flat["true_correct"][3])
    assert flat["valid"].dtype == np.uint8 and ds.true_correct.encoding["dtype"] == np.int8

    # Codes carry their meanings, one word each.
    for name in ["valid", "prompt_source", "status", "true_correct", "sample_correct", "sample_finish"]:
        attrs = ds[name].attrs
        assert len(attrs["flag_meanings"].split()) == len(np.atleast_1d(attrs["flag_values"])), name
        assert np.atleast_1d(attrs["flag_values"]).dtype == ds[name].encoding["dtype"], name
    meaning = dict(zip(ds.status.attrs["flag_values"].tolist(), ds.status.attrs["flag_meanings"].split()))
    assert meaning[-1] == "never_computed" and meaning[0] == "ok" and meaning[2] == "bad_input"

    # What people do next: to pandas, and back to netCDF without complaint.
    frame = ds[["p_correct", "cost", "true_correct"]].to_dataframe()
    assert len(frame) == 15 and "category" in frame.columns
    ds.load().to_netcdf(path + ".nc", engine="h5netcdf")
    ds.close()

    # Calibration: the same columns, over anchors; anchors: what is known of all of them.
    cal = xr.open_dataset(path, engine="h5netcdf", group="calibration")
    assert dict(cal.sizes) == {"anchor": 2, "model": 3, "sample": 4}, cal.sizes
    assert set(cal.coords) == {"anchor", "model", "sample", "category"}, cal.coords
    assert set(cal.data_vars) == set(ds.data_vars) - set(MODEL)
    assert list(cal["anchor"].values) == ["anchor 1", "anchor 3"] and cal["similarity"].dims == ("anchor",)
    assert cal["sample_length"].dims == ("anchor", "model", "sample")
    cell = cal.sel(anchor="anchor 3", model="vendor/model-1")
    assert float(cell.p_correct) == 0.25 + 0.01 * 19 and float(cell.true_length) == 204
    anchors = xr.open_dataset(path, engine="h5netcdf", group="anchors")
    assert set(anchors.coords) == {"anchor", "model", "category"}, anchors.coords
    assert set(anchors.data_vars) == {"correct", "completion_tokens", "prompt_tokens"}
    assert anchors["correct"].dims == ("anchor", "model")
    assert anchors["correct"].fillna(-1).values.tolist() == [[1, 0, 0], [0, 1, 0], [0, -1, 1], [0, 0, 0]]
    assert anchors["completion_tokens"].sel(anchor="anchor 2").fillna(-1).values.tolist() == [1020, -1, 1022]
    assert anchors["completion_tokens"].sel(anchor="anchor 2").mean() == 1021
    assert anchors["correct"].attrs["flag_meanings"] == "incorrect correct"
    joined = cal["p_correct"].to_dataset().merge(anchors["correct"].to_dataset(), join="inner")
    assert dict(joined.sizes) == {"anchor": 2, "model": 3}

    # The other groups open too; texts by offset.
    texts = xr.open_dataset(path, engine="h5netcdf", group="texts")
    data, offset = texts["bytes"].values.tobytes(), texts["offset"].values
    assert len(offset) == (15 + 6) * 4 + 1 and offset[-1] == len(data)
    i = 4 * 4 + 0
    assert data[offset[i]:offset[i + 1]].decode() == "Analysis 4/0:\n\u00e9t\u00e9"
    assert offset[6 * 4] == offset[7 * 4]
    provenance = xr.open_dataset(path, engine="h5netcdf", group="provenance")
    assert len(provenance.attrs["digest"]) == 32 and provenance.attrs["version"] == "0.1.0"
    assert provenance["job"].item() == '{"name":"a demo"}'
    runtime = xr.open_dataset(path, engine="h5netcdf", group="runtime")
    assert list(runtime["host"].values) == ["node", "node"] and runtime.attrs["ranks"] == 2
    assert list(runtime["device_uuid"].values) == ["GPU-0", "GPU-1"] and runtime["device_memory"].values[1] == 85017493504
    assert runtime["rank_energy"].attrs["units"] == "J" and np.isnan(runtime["rank_energy"].values[1])
    assert runtime["product_rate"].values[0] == 7e14 and runtime["driver"].values[0] == "580.65.06, CUDA 13.0"

    # h5py, with the scales attached.
    with h5py.File(path) as f:
        assert [d.keys()[0] for d in f["sample_length"].dims] == ["query", "model", "sample"]
        assert f.attrs["format"] == "scope-grid results" and f.attrs["format_version"] == 2


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tmp:
        sample = os.path.join(tmp, "sample.h5")
        subprocess.run([sys.argv[1], "--sample", sample], check=True)
        check(sample)
    print("ok")
