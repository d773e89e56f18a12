# Varnish as a cache before edges, for a crowd that polls `/streams/`. Tried with 7.1, started with
#
#   varnishd -f crowd.vcl -a :8080 -s malloc,256m -p thread_pools=1 -p thread_pool_min=50 -p thread_pool_max=50 -p timeout_linger=0 -p thread_queue_limit=20000 -p listen_depth=4096 -p http_req_size=15k -p vsl_mask=-ReqHeader,-ReqUnset,-RespHeader,-RespUnset,-VCL_call,-VCL_return
#
# What it would note of each request, for varnishlog, costs as much as answering it: the mask leaves out what is long.
#
# All who wait at one place are one request to an edge, and are woken by its answer. Who waits so holds no thread: a small
# pool is enough, and is faster than one of thousands. On two cores one pool takes a tenth less of them than two. But it must not
# wait for the next request of who was just answered, which Varnish does for 50 ms: clients are as far away as that.
#
# A head that is too large for an edge is refused here, or the refusal of one would be that of all who wait with him.
#
# Everybody is answered from the cache, whoever they are: only for videos that everybody may read.
vcl 4.1;

import directors;

backend edge_1 {
    .host = "edge-1";
    .port = "8080";
    .connect_timeout = 500ms;
    # An edge answers who waits after some 21 s.
    .first_byte_timeout = 50s;
    .between_bytes_timeout = 50s;
}
backend edge_2 {
    .host = "edge-2";
    .port = "8080";
    .connect_timeout = 500ms;
    .first_byte_timeout = 50s;
    .between_bytes_timeout = 50s;
}

sub vcl_init {
    new edges = directors.round_robin();
    edges.add_backend(edge_1);
    edges.add_backend(edge_2);
}

sub vcl_recv {
    set req.backend_hint = edges.backend();
    if (req.url !~ "^/streams/" || (req.method != "GET" && req.method != "HEAD")) {
        return (pass);
    }
    # One form for all, one for the pages of all sites, and one by whatever name we were called.
    unset req.http.Accept-Encoding;
    unset req.http.Origin;
    unset req.http.Host;
    # Of another place for everybody who asks; of each one's own connection; of somebody who says who he is.
    if (req.method == "HEAD" || req.url ~ "[?&](offset=now|live=sse)(&|$)" || req.http.Authorization) {
        return (pass);
    }
    # A name that is escaped or in capitals: an edge refuses it.
    if (req.url ~ "[?&][^=&]*[%A-Z]") {
        return (pass);
    }
    unset req.http.Cookie;
    # An edge's answer does not depend on what others call their parameters. Most clients send what is left as it is.
    if (req.url !~ "^[^?]*\?(cursor=[0-9]+&)?(live=long-poll&)?offset=[0-9a-z-]+$") {
        set req.url = regsub(req.url, "\?.*$", "")
            + "?cursor=" + regsub(req.url, "^(?:.*[?&]cursor=([^&]*))?.*$", "\1")
            + "&live=" + regsub(req.url, "^(?:.*[?&]live=([^&]*))?.*$", "\1")
            + "&offset=" + regsub(req.url, "^(?:.*[?&]offset=([^&]*))?.*$", "\1");
        # An empty parameter is one that was not there.
        set req.url = regsuball(req.url, "(cursor|live|offset)=(&|$)", "");
        set req.url = regsub(req.url, "[?&]$", "");
    }
    return (hash);
}

# An edge that is not there: the next one is asked. Others ask in turns with us, so that it may be the same again.
sub vcl_backend_error {
    if (bereq.retries < 3) {
        return (retry);
    }
}

sub vcl_backend_response {
    if (beresp.status == 503 && bereq.retries == 0) {
        return (retry);
    }
    unset beresp.http.Vary;
    # Nothing is kept for longer than its answer says: a deleted text would stay.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (bereq.url ~ "[?&]live=sse") {
        set beresp.do_stream = true;
    }
    if (beresp.status >= 500) {
        # All who wait are told so, or the whole crowd would ask edges that have no room.
        set beresp.ttl = 1s;
    } else if (beresp.http.Cache-Control !~ "s-maxage=" || beresp.status >= 400) {
        # What is not to be kept must not make those who wait stand in line for the next answer either.
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
    }
    # Varnish's own rules, which would be next, have all ask an edge for two minutes after an answer that says no-store.
    return (deliver);
}

sub vcl_deliver {
    set resp.http.Access-Control-Allow-Origin = "*";
    set resp.http.Access-Control-Expose-Headers = "Age, ETag, Retry-After, Stream-Cursor, Stream-Next-Offset, Stream-Up-To-Date";
}
