Feature: After a failure everything is as it was before

  @RP-004 @RP-002 @VP-004
  Scenario: Exhaustion, and recovery by releasing
    Given a worker whose budget holds exactly 2 shards of 60 KiB
    And the sealed shards "a, b" of 60 KiB each
    When 60 KiB of weights are sealed as "c"
    Then it is refused as INSUFFICIENT_VRAM
    And the refusal states the bytes needed and the bytes available
    And "a, b" verifies
    When "a" is released
    Then it succeeds
    When 60 KiB of weights are sealed as "c"
    Then it succeeds
    And "b, c" verifies
    And no memory is left
    And the device memory in use is that of the live shards

  @RP-006 @MS-002
  Scenario Outline: The device fails in its <step>
    Given a worker
    And a sealed shard "before" of 5,000 bytes
    And the device fails in its next <step>
    When 30,000 bytes of weights are sealed as "model"
    Then it is refused as DEVICE_UNAVAILABLE
    And the refusal is retriable
    And 1 shard is live
    And the device memory in use is that of the live shards
    And "vram.deallocated" was emitted 1 time
    When 30,000 bytes of weights are sealed as "model"
    Then it succeeds
    And "before, model" verifies

    Examples:
      | step   |
      | write  |
      | freeze |
      | root   |

  @CI-004 @RP-006
  Scenario: Bytes that do not arrive as they were read
    Given a worker
    And the device gives 2 wrong digests
    When 30,000 bytes of weights are sealed as "model"
    Then it is refused as INTEGRITY_VIOLATION
    And 0 shards are live
    And "vram.sealed" was emitted 0 times
    And the device memory in use is that of the live shards

  @CI-010 @RP-006
  Scenario: A device that contradicts itself while sealing
    Given a worker
    And the device gives 1 wrong digest
    When 30,000 bytes of weights are sealed as "model"
    Then it is refused as DEVICE_UNAVAILABLE
    And the device memory in use is that of the live shards

  @IV-006 @RP-006
  Scenario Outline: A source that <misbehaviour>
    Given a worker
    When weights are sealed from a source that <misbehaviour>
    Then it is refused as SOURCE_MISMATCH
    And 0 shards are live
    And "vram.sealed" was emitted 0 times
    And the device memory in use is that of the live shards
    When 30,000 bytes of weights are sealed as "model"
    Then it succeeds

    Examples:
      | misbehaviour               |
      | changes while it is read   |
      | ends too soon              |
      | gives more than it announced |
      | fails halfway              |

  @RP-006
  Scenario: The caller gives up halfway
    Given a worker
    When sealing "model" is aborted halfway
    Then it is refused as ABORTED
    And the device memory in use is that of the live shards
    When 30,000 bytes of weights are sealed as "model"
    Then it succeeds

  @ST-002
  Scenario: A worker that stops when it finds damage
    Given a worker that stops as soon as it finds damage
    And the sealed shards "a, b" of 9,000 bytes each
    And byte 8000 of "a" is damaged
    When "a" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the worker is "stopped"
    And "manager.stopped" was emitted 1 time
    When 5,000 bytes of weights are sealed as "c"
    Then it is refused as STOPPED
    When work runs on "b"
    Then it is refused as STOPPED
    And the work has run 0 times
    And "b" verifies
    When "a" is released
    Then the memory was overwritten with zeros before it was freed

  @ST-003
  Scenario: The device is lost
    Given a worker on a device that can be lost
    When the device is lost
    Then the worker is "lost"
    And "device.lost" was emitted 1 time
    When weights are sealed under the id "model"
    Then it is refused as DEVICE_LOST
    And the refusal is fatal
    When the worker is asked for its capacity
    Then it is refused as DEVICE_LOST

  @MS-005
  Scenario: After closing
    Given a worker
    And a sealed shard "model" of 5,000 bytes
    When the worker is closed
    And weights are sealed under the id "late"
    Then it is refused as STOPPED
