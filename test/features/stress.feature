Feature: Many operations in a row

  @RP-002
  Scenario: A thousand tiny shards (fifty on software and emulated GPUs)
    Given a worker
    When 1000 shards of 64 bytes are sealed on the host, 50 elsewhere
    Then every one of them verifies
    And the device memory in use is that of the live shards
    When every one of them is released
    Then 0 shards are live
    And the device memory in use is that of the live shards

  @CI-010
  Scenario: A thousand verifications of one shard (a hundred on software and emulated GPUs)
    Given a worker
    And a sealed shard "model" of 4 KiB
    When "model" is verified 1000 times on the host, 100 times elsewhere
    Then 1 shard is live
    And no shard is in quarantine

  @RP-002 @RP-005
  Scenario: A hundred alternating seals and verifications
    Given a worker
    When 100 seals and verifications alternate, each shard released before the next
    Then 0 shards are live
    And "vram.sealed" was emitted 100 times
    And "seal.verified" was emitted 100 times
    And "vram.deallocated" was emitted 100 times
    And the device memory in use is that of the live shards

  @CI-007
  Scenario: Work in turns on two shards
    Given a worker
    And the sealed shards "a, b" of 4 KiB each
    When work is requested 25 times on "a" and on "b", in turns
    Then the work has run 50 times
    And "seal.verified" was emitted 50 times

  @ST-001
  Scenario: One damaged shard among twenty
    Given a worker
    When 20 shards of 64 bytes are sealed on the host, 20 elsewhere
    And byte 9 of "tiny-11" is damaged
    And "tiny-11" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And "tiny-11" is in quarantine
    And "tiny-0, tiny-10, tiny-12, tiny-19" verifies
