package unisono;

import java.nio.charset.StandardCharsets;
import java.text.Normalizer;
import java.time.DateTimeException;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.spark.sql.api.java.UDF1;
import org.apache.spark.sql.api.java.UDF2;

/**
 * What the definitions use and Spark 3.5 lacks, or has with another meaning. Each gives what DuckDB gives; NULL gives NULL.
 * Compiled when a session starts, by the compiler that Spark itself uses.
 */
public class Functions {
    /** The Jaro-Winkler similarity over UTF-8 bytes. */
    public static class JaroWinkler implements UDF2 {
        public Object call(Object left, Object right) {
            if (left == null || right == null) return null;
            byte[] a = ((String) left).getBytes(StandardCharsets.UTF_8);
            byte[] b = ((String) right).getBytes(StandardCharsets.UTF_8);
            double similarity = jaro(a, b);
            if (similarity > 0.7) {
                int common = 0;
                while (common < 4 && common < a.length && common < b.length && a[common] == b[common]) common++;
                similarity += common * 0.1 * (1 - similarity);
            }
            return Double.valueOf(similarity);
        }

        private static double jaro(byte[] a, byte[] b) {
            if (a.length == 0 || b.length == 0) return 0.0;
            if (Arrays.equals(a, b)) return 1.0;
            int window = Math.max(a.length, b.length) / 2 - 1, found = 0;
            boolean[] usedA = new boolean[a.length], usedB = new boolean[b.length];
            for (int i = 0; i < a.length; i++) {
                for (int j = Math.max(0, i - window); j < Math.min(b.length, i + window + 1); j++) {
                    if (!usedB[j] && a[i] == b[j]) {
                        usedA[i] = true;
                        usedB[j] = true;
                        found++;
                        break;
                    }
                }
            }
            if (found == 0) return 0.0;
            int turned = 0, at = 0;
            for (int i = 0; i < a.length; i++) {
                if (usedA[i]) {
                    while (!usedB[at]) at++;
                    if (a[i] != b[at]) turned++;
                    at++;
                }
            }
            return ((double) found / a.length + (double) found / b.length + (double) (found - turned / 2) / found) / 3;
        }
    }

    /** Canonical composition. */
    public static class Nfc implements UDF1 {
        public Object call(Object text) {
            return text == null ? null : Normalizer.normalize((String) text, Normalizer.Form.NFC);
        }
    }

    /** The text without its combining marks. */
    public static class StripAccents implements UDF1 {
        private static final Pattern MARKS = Pattern.compile("\\p{M}+");

        public Object call(Object text) {
            if (text == null) return null;
            String apart = Normalizer.normalize((String) text, Normalizer.Form.NFD);
            return Normalizer.normalize(MARKS.matcher(apart).replaceAll(""), Normalizer.Form.NFC);
        }
    }

    /** Each character in lower case by itself. */
    public static class Lower implements UDF1 {
        public Object call(Object text) {
            if (text == null) return null;
            int[] points = ((String) text).codePoints().toArray();
            for (int i = 0; i < points.length; i++) points[i] = Character.toLowerCase(points[i]);
            return new String(points, 0, points.length);
        }
    }

    /** Each character in upper case by itself. */
    public static class Upper implements UDF1 {
        public Object call(Object text) {
            if (text == null) return null;
            int[] points = ((String) text).codePoints().toArray();
            for (int i = 0; i < points.length; i++) points[i] = points[i] == 0xDF ? 0x1E9E : Character.toUpperCase(points[i]);
            return new String(points, 0, points.length);
        }
    }

    private static long micros(LocalDateTime local, int offset) {
        return (local.toEpochSecond(ZoneOffset.UTC) - offset) * 1000000L + local.getNano() / 1000;
    }

    /** Microseconds since 1970 of an ISO 8601 date and time, in UTC where it names no offset; NULL where it is none. */
    public static class Instant implements UDF1 {
        private static final Pattern FORM = Pattern.compile(
            "(\\d{4})-(\\d\\d)-(\\d\\d)[Tt ](\\d\\d):(\\d\\d):(\\d\\d)(?:\\.(\\d{1,9}))?(?:[Zz]|([+-])(\\d\\d)(?::?(\\d\\d))?)?");

        public Object call(Object text) {
            Matcher found = text == null ? null : FORM.matcher((String) text);
            if (found == null || !found.matches()) return null;
            String fraction = found.group(7) == null ? "" : found.group(7);
            int nano = Integer.parseInt((fraction + "000000000").substring(0, 9));
            boolean midnight = found.group(4).equals("24");
            if (midnight && (number(found, 5) + number(found, 6) + nano) > 0) return null;
            int offset = found.group(8) == null ? 0 : number(found, 9) * 3600 + (found.group(10) == null ? 0 : number(found, 10) * 60);
            try {
                LocalDateTime local = LocalDateTime.of(number(found, 1), number(found, 2), number(found, 3),
                    midnight ? 0 : number(found, 4), number(found, 5), number(found, 6), nano);
                return Long.valueOf(micros(midnight ? local.plusDays(1) : local, "-".equals(found.group(8)) ? -offset : offset));
            } catch (DateTimeException none) {
                return null;
            }
        }

        private static int number(Matcher found, int group) {
            return Integer.parseInt(found.group(group));
        }
    }

    /** Microseconds since 1970 of a wall clock (given as if in UTC) in a time zone; an hour that comes twice is the second. */
    public static class InZone implements UDF2 {
        public Object call(Object clock, Object zone) {
            if (clock == null || zone == null) return null;
            long given = ((Long) clock).longValue();
            long second = Math.floorDiv(given, 1000000L), rest = Math.floorMod(given, 1000000L);
            LocalDateTime local = LocalDateTime.ofEpochSecond(second, (int) rest * 1000, ZoneOffset.UTC);
            ZonedDateTime zoned = local.atZone(ZoneId.of((String) zone)).withLaterOffsetAtOverlap();
            return Long.valueOf(zoned.toEpochSecond() * 1000000L + zoned.getNano() / 1000);
        }
    }
}
