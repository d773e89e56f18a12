// The JDK's HttpClient, which offers to change to HTTP/2 by itself, and its GZIPInputStream, on one stream. Says what it
// reads, in lines of JSON: [kind, last id, data], and how each response ended. Comes back as a browser would.
//
// An InputStreamReader around a GZIPInputStream would wait until its buffer is full: it asks whether more is available,
// and an InflaterInputStream always says so. So lines are taken apart before they become text.
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.zip.GZIPInputStream;

public class JdkReader {
    static void say(String kind, String id, String data) {
        String quoted = data.replace("\\", "\\\\").replace("\"", "\\\"");
        System.out.println("[\"" + kind + "\",\"" + id + "\",\"" + quoted + "\"]");
    }

    static String readLine(InputStream stream) throws IOException {
        var line = new ByteArrayOutputStream();
        for (int octet = stream.read(); octet != '\n'; octet = stream.read()) {
            if (octet < 0) return null;
            line.write(octet);
        }
        return line.toString("UTF-8");
    }

    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        String lastId = "";
        long retryMs = 3_000;
        while (true) {
            var asked = HttpRequest.newBuilder(URI.create(arguments[0]))
                .header("Accept", "text/event-stream").header("Accept-Encoding", "gzip");
            if (!lastId.isEmpty()) asked.header("Last-Event-ID", lastId);
            String kind = "", data = null, line;
            try {
                var answer = client.send(asked.build(), BodyHandlers.ofInputStream());
                var body = new GZIPInputStream(answer.body());
                while ((line = readLine(body)) != null) {
                    int colon = line.indexOf(':');
                    String field = colon < 0 ? line : line.substring(0, colon);
                    String value = colon < 0 ? "" : line.substring(colon + 1).replaceFirst("^ ", "");
                    switch (field) {
                        case "event" -> kind = value;
                        case "id" -> lastId = value;
                        case "data" -> data = data == null ? value : data + "\n" + value;
                        case "retry" -> retryMs = Long.parseLong(value);
                        default -> { }
                    }
                    if (line.isEmpty()) {
                        if (data != null) say(kind, lastId, data);
                        kind = "";
                        data = null;
                    }
                }
                say("end", "", "clean");
            } catch (IOException error) {
                say("end", "", String.valueOf(error));
            }
            Thread.sleep(retryMs);
        }
    }
}
