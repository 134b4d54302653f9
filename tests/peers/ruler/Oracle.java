import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import software.amazon.event.ruler.Machine;

/**
 * Answers one line for each line of standard input. In: {"pattern": TEXT, "event": TEXT}. Out: "match",
 * "nomatch", "invalid" and the reason for the pattern, or "unreadable" and the reason for the event.
 */
public final class Oracle {
    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode pair = mapper.readTree(line);
            String answer = judge(pair.get("pattern").asText(), pair.get("event").asText());
            out.write(answer.replace('\n', ' '));
            out.newLine();
            // A person who types pairs sees each answer; a test sends many lines ahead.
            if (!in.ready()) {
                out.flush();
            }
        }
        out.flush();
    }

    private static String judge(String pattern, String event) {
        // Like EventBridge: a field that a pattern names twice is refused.
        Machine machine = Machine.builder().withOverridesForDuplicateRules(false).build();
        try {
            machine.addRule("rule", pattern);
        } catch (Exception | Error refused) {
            return "invalid " + refused.getMessage();
        }
        try {
            return machine.rulesForJSONEvent(event).isEmpty() ? "nomatch" : "match";
        } catch (Exception | Error unreadable) {
            return "unreadable " + unreadable.getMessage();
        }
    }
}
