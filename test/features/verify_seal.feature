Feature: Verifying a seal
  A handle is checked first, then the bytes in device memory. Only bytes that match their seal verify,
  and the weights do not leave the device for it.

  Background:
    Given a worker
    And the sealed shards "model, other" of 20,000 bytes each

  @CI-010
  Scenario: Bytes are verified in place
    When "model" is verified
    Then it succeeds
    And the verification was of the kind "resident"
    And only a few bytes came back from the device
    And "seal.verified" was emitted 1 time

  Scenario: Bytes are verified by reading them back
    When "model" is verified by reading its bytes back
    Then it succeeds
    And the verification was of the kind "readback"
    And all bytes of "model" came back from the device

  @CI-002
  Scenario: A handle may be stored as text
    When the handle of "model" is stored as JSON text, and that text is verified
    Then it succeeds
    And the verification was of the kind "resident"

  @WK-001 @VP-006 @CI-002
  Scenario: What a handle says
    Then the handle of "model" says:
      | field        | value                    |
      | v            | 1                        |
      | sealId       | some text                |
      | sealed       | true                     |
      | shardId      | "model"                  |
      | workerId     | "worker-1"               |
      | device       | this device              |
      | byteLength   | 20000                    |
      | sha256       | some text                |
      | fsverity     | some text                |
      | sealedAt     | some text                |
      | residency    | the class of this device |
      | immutability | some text                |
      | emulated     | yes or no                |
      | modelRef     | null                     |
      | shardIndex   | null                     |
      | totalShards  | null                     |
      | signature    | some text                |

  @CI-002
  Scenario Outline: A handle whose <field> was changed
    When the handle of "model" is verified with "<field>" changed to "<value>"
    Then it is refused as SEAL_VERIFICATION_FAILED
    And no shard is in quarantine
    And "model, other" verifies

    Examples:
      | field          | value                                                                                            |
      | v              | 2                                                                                                |
      | sealId         | \u002200000000000000000000000000000000\u0022                                                   |
      | sealed         | false                                                                                            |
      | shardId        | \u0022other\u0022                                                                              |
      | workerId       | \u0022worker-2\u0022                                                                           |
      | device         | null                                                                                             |
      | device.backend | \u0022vulkan\u0022                                                                             |
      | device.index   | 7                                                                                                |
      | device.name    | \u0022H100\u0022                                                                               |
      | device.uuid    | \u0022GPU-1\u0022                                                                              |
      | byteLength     | 19999                                                                                            |
      | sha256         | null                                                                                             |
      | fsverity       | \u0022fsverity-sha256-12:0000000000000000000000000000000000000000000000000000000000000000\u0022 |
      | sealedAt       | \u00222020-01-01T00:00:00.000Z\u0022                                                           |
      | residency      | \u0022device-local\u0022                                                                       |
      | immutability   | \u0022none\u0022                                                                               |
      | emulated       | \u0022no\u0022                                                                                 |
      | modelRef       | \u0022llama\u0022                                                                              |
      | shardIndex     | 0                                                                                                |
      | totalShards    | 1                                                                                                |

  @CI-002
  Scenario Outline: A handle without its <field>
    When the handle of "model" is verified without its "<field>"
    Then it is refused as SEAL_VERIFICATION_FAILED

    Examples:
      | field     |
      | sealId    |
      | residency |
      | emulated  |

  @CI-002
  Scenario: A handle with something added
    When the handle of "model" is verified with an extra field
    Then it is refused as SEAL_VERIFICATION_FAILED

  Scenario Outline: What is not a handle: <text>
    When "<text>" is verified as a handle
    Then it is refused as SEAL_VERIFICATION_FAILED
    And "model, other" verifies

    Examples:
      | text  |
      |       |
      | model |
      | []    |
      | null  |

  @ST-001
  Scenario: Damage is found, and its shard is quarantined
    Given byte 5000 of "model" is damaged
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the refusal is fatal
    And the damage is reported in the blocks "1"
    And "model" is in quarantine
    And "other" verifies

  @ST-001
  Scenario: A released shard is gone
    When "model" is released
    Then the memory was overwritten with zeros before it was freed
    When the released "model" is verified
    Then it is refused as NOT_FOUND
    And no shard is in quarantine
    And "other" verifies

  @CI-007
  Scenario: Work only runs on verified bytes
    When work runs on "model"
    Then it succeeds
    And "seal.verified" was emitted 1 time
    When work runs on "model"
    Then it succeeds
    And "seal.verified" was emitted 2 times
    And the work has run 2 times

  @CI-007
  Scenario: Work that accepts a recent verification
    When "model" is verified
    And 30 seconds pass
    And work runs on "model", accepting a verification of the last 60 seconds
    Then it succeeds
    And "seal.verified" was emitted 1 time
    When 31 seconds pass
    And work runs on "model", accepting a verification of the last 60 seconds
    Then it succeeds
    And "seal.verified" was emitted 2 times
