#include "handoff.h"

#include "base/file.h"
#include "policy_json.h"
#include "writers.h"

enum sg_status sg_handoff_check(const struct sg_handoff_spec *spec, size_t asks, struct sg_err *err) {
    const struct sg_requests_spec *r = &spec->requests;
    if (!r->dir != !r->queries)
        return sg_fail(err, SG_E_USAGE, "%s needs %s", r->dir ? "--requests" : "--queries-file",
                       r->dir ? "--queries-file FILE, the queries that the job read: results.h5 has no texts"
                              : "--requests DIR, the folder to be made");
    if (r->dir && !*r->dir) return sg_fail(err, SG_E_USAGE, "--requests: expected the name of a folder");
    if (r->body && !r->dir) return sg_fail(err, SG_E_USAGE, "--request-body needs --requests DIR");
    if ((r->dir || spec->policy_json) && asks != 1)
        return sg_fail(err, SG_E_USAGE,
                       "%s needs one --budget or --target-accuracy, which says what may be spent; %zu given",
                       r->dir ? "--requests" : "--policy-json", asks);
    return SG_OK;
}

enum sg_status sg_handoff_write(const struct sg_analysis *a, const struct sg_handoff_spec *spec,
                                const char *dir, struct sg_handoff_done *done, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_advised advised;
    struct sg_provider_ids ids = {0};
    const bool asked = spec->requests.dir || spec->policy_json;
    *done = (struct sg_handoff_done){.m = a->data->m};
    if (asked) {
        done->named_by = spec->prices                               ? spec->prices
                         : spec->pool && sg_file_exists(spec->pool) ? spec->pool
                                                                    : NULL;
        SG_TRY(sg_advised_find(a, spec->requests.dir ? "--requests" : "--policy-json", &advised, err));
        SG_TRY(sg_provider_ids_read(done->named_by, a->data, &ids, err));
        done->n_named = ids.n_named;
    }
    if (spec->requests.dir)
        SG_TRY(sg_requests_write(a, &advised, &ids, &spec->requests, &done->requests, err));
    SG_TRY(sg_policy_json_write(a, spec->policy_json ? &advised : NULL, &ids, dir, err));
out:
    sg_provider_ids_free(&ids);
    return st;
}

void sg_handoff_say(const struct sg_handoff_spec *spec, const struct sg_handoff_done *done, FILE *to) {
    const struct sg_requests_done *r = &done->requests;
    char bill[32];
    if (!spec->requests.dir) return;
    fprintf(to, "Requests in %s: %lld in %lld %s for %d %s, expected bill $%s; verified: %s\n",
            spec->requests.dir, (long long)r->requests, (long long)r->files, r->files == 1 ? "file" : "files",
            (int)r->models, r->models == 1 ? "model" : "models", sg__print_usd(r->bill, bill, sizeof bill),
            r->prompts_verified ? "ids and prompts"
                                : "ids alone (these results hold no hashes of the prompts)");
    if (done->n_named < done->m)
        fprintf(to, "  %d of %d models have no provider_id in %s: requests bear their ids\n",
                (int)(done->m - done->n_named), (int)done->m,
                done->named_by ? done->named_by : "a file of --prices or --pool");
}
