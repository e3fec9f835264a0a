import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.common.TopicPartition;

/** Gives the first partition of topics other replicas: SERVERS 3,1,2 TOPIC... The first replica is the preferred leader. */
public final class Reassign {
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        var replicas = Arrays.stream(args[1].split(",")).map(Integer::valueOf).collect(Collectors.toList());
        Map<TopicPartition, Optional<NewPartitionReassignment>> wanted = new HashMap<>();
        for (String topic : Arrays.copyOfRange(args, 2, args.length)) {
            wanted.put(new TopicPartition(topic, 0), Optional.of(new NewPartitionReassignment(replicas)));
        }
        try (Admin admin = Admin.create(properties)) {
            admin.alterPartitionReassignments(wanted).all().get();
            while (!admin.listPartitionReassignments(wanted.keySet()).reassignments().get().isEmpty()) {
                Thread.sleep(100);
            }
        }
    }
}
