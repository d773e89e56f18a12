// OkHttp's own event sources on one stream, compressed as OkHttp asks by itself. Says what it is given, in lines of JSON:
// [kind, last id, data], and how each response ended. OkHttp does not come back by itself, so this does.
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.sse.EventSource;
import okhttp3.sse.EventSourceListener;
import okhttp3.sse.EventSources;

public class OkHttpReader {
    static String lastId = "";

    static void say(String kind, String id, String data) {
        String quoted = data.replace("\\", "\\\\").replace("\"", "\\\"");
        System.out.println("[\"" + kind + "\",\"" + id + "\",\"" + quoted + "\"]");
    }

    public static void main(String[] arguments) throws Exception {
        var client = new OkHttpClient.Builder().readTimeout(Duration.ZERO).build();
        while (true) {
            var ended = new CountDownLatch(1);
            var asked = new Request.Builder().url(arguments[0]);
            if (!lastId.isEmpty()) asked.header("Last-Event-ID", lastId);
            EventSources.createFactory(client).newEventSource(asked.build(), new EventSourceListener() {
                @Override public void onEvent(EventSource source, String id, String type, String data) {
                    if (id != null) lastId = id;
                    say(type == null ? "" : type, lastId, data);
                }

                @Override public void onClosed(EventSource source) {
                    say("end", "", "clean");
                    ended.countDown();
                }

                @Override public void onFailure(EventSource source, Throwable error, Response response) {
                    say("end", "", String.valueOf(error));
                    ended.countDown();
                }
            });
            ended.await();
            TimeUnit.SECONDS.sleep(1);
        }
    }
}
